//! The way of metrics out of the agent: pages for a scraper, or a file for a collector.
//!
//! A thread of its own serves it. It gets snapshots from the loop, a few in a second at most, and makes
//! the text of them; what clients and disks do to it delays no decision.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::config::MetricsPlace;
use crate::metrics::{self, MetricsSnapshot};
use crate::web::{PageRequest, PageStatus, WebListener, WebPage};

/// A text answers all requests for so long.
const FRESH_FOR: Duration = Duration::from_millis(200);
/// How long the loop may take for a snapshot.
const SNAPSHOT_WITHIN: Duration = Duration::from_secs(4);
/// Requests that may wait for a text.
const QUEUE: usize = 16;
/// How often the file is written if something has changed.
const WRITE_EVERY: Duration = Duration::from_secs(15);
/// It is written at least at each of so many times, so that its age shows that the agent runs.
const WRITE_ALWAYS_AT: u32 = 4;
/// How long a stop waits for the thread.
const END_WITHIN: Duration = Duration::from_secs(1);
/// Readable by all: a collector is another user.
const FILE_MODE: u32 = 0o644;

/// The way back of a snapshot.
pub(super) type SnapshotRequest = oneshot::Sender<Box<MetricsSnapshot>>;

/// The thread. It ends when this is dropped.
pub(super) struct MetricsDoor {
    pub(super) requests: mpsc::Receiver<SnapshotRequest>,
    stop: oneshot::Sender<()>,
    ended: oneshot::Receiver<()>,
}

/// What the thread serves.
enum DoorKind {
    Pages(WebListener),
    File(TextFile),
}

impl MetricsDoor {
    /// Opens it; none if metrics are off.
    pub(super) fn open(place: &MetricsPlace) -> anyhow::Result<Option<Self>> {
        let kind = match place {
            MetricsPlace::Off => return Ok(None),
            MetricsPlace::Tcp(address) => DoorKind::Pages(WebListener::tcp(*address)?),
            MetricsPlace::Unix(path) => DoorKind::Pages(WebListener::unix(path)?),
            MetricsPlace::File(path) => DoorKind::File(TextFile::at(path)?),
        };
        let (snapshots, requests) = mpsc::channel(1);
        let (stop, stopped) = oneshot::channel::<()>();
        let (end, ended) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot start the runtime of the metrics")?;
        let serve = move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = stopped => {}
                    () = serve(kind, SnapshotSource(snapshots)) => {}
                }
            });
            drop(end);
        };
        thread::Builder::new()
            .name("metrics".to_owned())
            .spawn(serve)
            .context("cannot start the thread of the metrics")?;
        Ok(Some(Self {
            requests,
            stop,
            ended,
        }))
    }

    /// Ends the thread, and waits a moment until its socket or file is gone.
    pub(super) async fn close(self) {
        drop(self.stop);
        drop(timeout(END_WITHIN, self.ended).await);
    }
}

/// The loop, as the thread sees it.
struct SnapshotSource(mpsc::Sender<SnapshotRequest>);

impl SnapshotSource {
    /// The text of now; none if the loop has ended or is busy.
    async fn text(&self) -> Option<String> {
        let snapshot = async {
            let (reply, snapshot) = oneshot::channel();
            self.0.send(reply).await.ok()?;
            snapshot.await.ok()
        };
        let snapshot = timeout(SNAPSHOT_WITHIN, snapshot).await.ok().flatten()?;
        Some(metrics::text(&snapshot))
    }
}

async fn serve(kind: DoorKind, source: SnapshotSource) {
    match kind {
        DoorKind::Pages(listener) => {
            let (requests, inbox) = mpsc::channel(QUEUE);
            let (served, ()) = tokio::join!(listener.serve(requests), answer(inbox, &source));
            if let Err(error) = served {
                tracing::warn!(%error, "metrics are not served");
            }
        }
        DoorKind::File(file) => file.keep(&source).await,
    }
}

/// Answers requests for pages.
async fn answer(mut inbox: mpsc::Receiver<PageRequest>, source: &SnapshotSource) {
    let mut fresh: Option<Arc<str>> = None;
    let mut age = pin!(sleep(FRESH_FOR));
    loop {
        tokio::select! {
            request = inbox.recv() => {
                let Some(request) = request else { return };
                let page = match &*request.path {
                    "/" => WebPage::plain("The metrics of uplinkd are at /metrics.\n"),
                    "/metrics" => {
                        if fresh.is_none() {
                            fresh = source.text().await.map(Into::into);
                            age.set(sleep(FRESH_FOR));
                        }
                        metrics_page(fresh.as_ref())
                    }
                    _ => WebPage::none(PageStatus::NotFound),
                };
                request.answer(page);
            }
            () = &mut age, if fresh.is_some() => fresh = None,
        }
    }
}

fn metrics_page(text: Option<&Arc<str>>) -> WebPage {
    match text {
        Some(text) => WebPage {
            status: PageStatus::Found,
            media_type: metrics::MEDIA_TYPE,
            body: Arc::clone(text),
        },
        None => WebPage::none(PageStatus::Unavailable),
    }
}

/// A file for the textfile collector of a node exporter. It goes with the agent.
struct TextFile {
    path: PathBuf,
    /// Logged once: a directory that cannot be written stays so.
    has_complained: bool,
}

impl TextFile {
    /// Its directory is made if it is missing.
    fn at(path: &Path) -> anyhow::Result<Self> {
        let directory = path.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(directory)
            .with_context(|| format!("cannot write the metrics to {}", path.display()))?;
        Ok(Self {
            path: path.to_owned(),
            has_complained: false,
        })
    }

    /// Keeps it up to date.
    async fn keep(mut self, source: &SnapshotSource) {
        let mut times = interval(WRITE_EVERY);
        times.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut written, mut unwritten) = (String::new(), 0);
        loop {
            times.tick().await;
            let Some(text) = source.text().await else {
                continue;
            };
            unwritten += 1;
            if text != written || unwritten >= WRITE_ALWAYS_AT {
                let outcome = self.write(&text);
                self.note(outcome);
                (written, unwritten) = (text, 0);
            }
        }
    }

    /// Replaces it as a whole. The name of the new file is none that a collector reads.
    fn write(&self, text: &str) -> io::Result<()> {
        let beside = self.beside();
        if let Err(error) = fs::remove_file(&beside)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(FILE_MODE)
            .open(&beside)?;
        file.set_permissions(fs::Permissions::from_mode(FILE_MODE))?;
        file.write_all(text.as_bytes())?;
        fs::rename(&beside, &self.path)
    }

    fn beside(&self) -> PathBuf {
        let mut beside = self.path.as_os_str().to_owned();
        beside.push(".new");
        beside.into()
    }

    fn note(&mut self, outcome: io::Result<()>) {
        match outcome {
            Ok(()) => self.has_complained = false,
            Err(error) if !std::mem::replace(&mut self.has_complained, true) => {
                let path = self.path.display();
                tracing::warn!(%error, %path, "the metrics cannot be written");
            }
            Err(_) => {}
        }
    }
}

impl Drop for TextFile {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.path));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_replaced_as_a_whole_and_no_link_is_followed() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = |name: &str| directory.path().join(name);
        fs::write(path("precious"), "precious").expect("a file");
        let file = TextFile::at(&path("deeper/uplinkd.prom")).expect("a place");
        std::os::unix::fs::symlink(path("precious"), file.beside()).expect("a link");
        for text in ["first and long\n", "second\n"] {
            file.write(text).expect("it is written");
            let written = fs::read_to_string(path("deeper/uplinkd.prom"));
            assert_eq!(written.expect("the file"), text);
        }
        let precious = fs::read_to_string(path("precious")).expect("the file");
        assert_eq!(precious, "precious");
        drop(file);
        let left = fs::read_dir(path("deeper")).expect("a directory");
        assert_eq!(left.count(), 0);
    }
}
