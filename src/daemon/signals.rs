//! The signals that the agent handles.

use std::future::pending;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::tasks::{SignalRequest, TaskOutbox, TaskReport};

/// The signals, each as it comes.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    hand_over: Signal,
}

/// Reports the signals from now on.
pub(super) fn listen(outbox: TaskOutbox) -> std::io::Result<()> {
    let mut signals = Signals {
        terminate: signal(SignalKind::terminate())?,
        interrupt: signal(SignalKind::interrupt())?,
        hang_up: signal(SignalKind::hangup())?,
        hand_over: signal(SignalKind::user_defined2())?,
    };
    tokio::spawn(async move {
        loop {
            let request = signals.next().await;
            if outbox.send(TaskReport::Signal(request)).await.is_err() {
                break;
            }
        }
    });
    Ok(())
}

/// Waits for a request to hand over.
pub(super) async fn hand_over(tasks: &mut mpsc::Receiver<TaskReport>) {
    while let Some(report) = tasks.recv().await {
        if matches!(report, TaskReport::Signal(SignalRequest::HandOver)) {
            return;
        }
    }
    pending::<()>().await;
}

impl Signals {
    async fn next(&mut self) -> SignalRequest {
        tokio::select! {
            biased;
            _ = self.hand_over.recv() => SignalRequest::HandOver,
            _ = self.terminate.recv() => SignalRequest::Stop,
            _ = self.interrupt.recv() => SignalRequest::Stop,
            _ = self.hang_up.recv() => SignalRequest::Reload,
        }
    }
}
