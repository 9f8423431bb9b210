//! The signals that the agent handles.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::config::OnStop;

/// The signals, each as it comes.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    hand_over: Signal,
}

/// The meaning of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SignalRequest {
    /// Another agent takes over at once, after a restart or with a new version: what the kernel holds
    /// stays.
    HandOver,
    /// The end, as the configuration has it.
    Stop,
    /// The configuration is read again.
    Reload,
}

impl SignalRequest {
    /// The fate of the routes, for a signal that ends the agent.
    pub(super) fn on_stop(self, configured: OnStop) -> Option<OnStop> {
        match self {
            Self::HandOver => Some(OnStop::Keep),
            Self::Stop => Some(configured),
            Self::Reload => None,
        }
    }
}

impl Signals {
    pub(super) fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
            hand_over: signal(SignalKind::user_defined2())?,
        })
    }

    pub(super) async fn next(&mut self) -> SignalRequest {
        tokio::select! {
            biased;
            () = hand_over(&mut self.hand_over) => SignalRequest::HandOver,
            _ = self.terminate.recv() => SignalRequest::Stop,
            _ = self.interrupt.recv() => SignalRequest::Stop,
            _ = self.hang_up.recv() => SignalRequest::Reload,
        }
    }

    /// A request to hand over.
    pub(super) async fn hand_over(&mut self) {
        hand_over(&mut self.hand_over).await;
    }
}

async fn hand_over(signal: &mut Signal) {
    signal.recv().await;
}
