//! The way of metrics out of the agent: pages for a scraper, or a file for a collector.
//!
//! A thread of its own serves it. It gets snapshots from the loop, a few in a second at most, and makes
//! the text of them; what clients and disks do to it delays no decision.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::thread;
use std::time::Duration;

use anyhow::Context;
use ipnet::IpNet;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{MissedTickBehavior, Sleep, interval, sleep, timeout};

use super::page::{self, PictureSnapshot};
use crate::config::MetricsPlace;
use crate::engine::status::Status;
use crate::metrics::{self, MetricsSnapshot};
use crate::state_file::{self, Durability};
use crate::web::{PageRequest, PageStatus, WebListener, WebPage};

/// A text answers all requests for so long.
const FRESH_FOR: Duration = Duration::from_millis(200);
/// Pictures do so for longer: the history is read for them.
const PICTURES_FRESH_FOR: Duration = Duration::from_secs(2);
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

/// A request for a snapshot, with the way back.
pub(super) enum SnapshotRequest {
    Metrics(oneshot::Sender<Box<MetricsSnapshot>>),
    Status(oneshot::Sender<Box<Status>>),
    Pictures(oneshot::Sender<Box<PictureSnapshot>>),
}

/// What is served at an address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PagesOffered {
    pub(super) metrics: bool,
    /// The networks that may read the status page beside this machine itself, if it is served.
    pub(super) page: Option<Vec<IpNet>>,
}

/// The thread. It ends when this is dropped.
pub(super) struct MetricsDoor {
    offered: watch::Sender<PagesOffered>,
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
    pub(super) fn open(
        place: &MetricsPlace,
        offered: PagesOffered,
        snapshots: mpsc::Sender<SnapshotRequest>,
    ) -> anyhow::Result<Option<Self>> {
        let kind = match place {
            MetricsPlace::Off => return Ok(None),
            MetricsPlace::Tcp(address) => DoorKind::Pages(WebListener::tcp(*address)?),
            MetricsPlace::Unix(path) => DoorKind::Pages(WebListener::unix(path)?),
            MetricsPlace::File(path) => DoorKind::File(TextFile::at(path)?),
        };
        let (offered, pages) = watch::channel(offered);
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
                    () = serve(kind, SnapshotSource(snapshots), pages) => {}
                }
            });
            drop(end);
        };
        thread::Builder::new()
            .name("metrics".to_owned())
            .spawn(serve)
            .context("cannot start the thread of the metrics")?;
        Ok(Some(Self {
            offered,
            stop,
            ended,
        }))
    }

    /// Something else is served from now on.
    pub(super) fn offer(&self, offered: PagesOffered) {
        self.offered.send_replace(offered);
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
    /// A snapshot of now; none if the loop has ended or is busy.
    async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<Box<T>>) -> SnapshotRequest,
    ) -> Option<Box<T>> {
        let snapshot = async {
            let (reply, snapshot) = oneshot::channel();
            self.0.send(request(reply)).await.ok()?;
            snapshot.await.ok()
        };
        timeout(SNAPSHOT_WITHIN, snapshot).await.ok().flatten()
    }

    /// The text of the metrics of now.
    async fn text(&self) -> Option<String> {
        let snapshot = self.ask(SnapshotRequest::Metrics).await?;
        Some(metrics::text(&snapshot))
    }

    /// A part of the status page.
    async fn page(&self, path: &str, fresh: &mut FreshPages) -> WebPage {
        match path {
            "/status.json" => {
                let make = async || Some(page::status(&*self.ask(SnapshotRequest::Status).await?));
                fresh.status.page(FRESH_FOR, make).await
            }
            "/day.html" => {
                let make = async || {
                    let snapshot = self.ask(SnapshotRequest::Pictures).await?;
                    Some(page::day(&snapshot.day()))
                };
                fresh.day.page(PICTURES_FRESH_FOR, make).await
            }
            _ => page::fixed(path).unwrap_or_else(|| WebPage::none(PageStatus::NotFound)),
        }
    }
}

/// A page that answers all requests for a while.
#[derive(Default)]
struct FreshPage(Option<(WebPage, Pin<Box<Sleep>>)>);

impl FreshPage {
    async fn page(&mut self, age: Duration, make: impl AsyncFn() -> Option<WebPage>) -> WebPage {
        if let Some((page, age)) = &mut self.0
            && timeout(Duration::ZERO, age).await.is_err()
        {
            return page.clone();
        }
        self.0 = make().await.map(|page| (page, Box::pin(sleep(age))));
        let page = self.0.as_ref().map(|(page, _)| page.clone());
        page.unwrap_or_else(|| WebPage::none(PageStatus::Unavailable))
    }
}

/// What was made of snapshots.
#[derive(Default)]
struct FreshPages {
    metrics: FreshPage,
    status: FreshPage,
    day: FreshPage,
}

async fn serve(kind: DoorKind, source: SnapshotSource, offered: watch::Receiver<PagesOffered>) {
    match kind {
        DoorKind::Pages(listener) => {
            let (requests, inbox) = mpsc::channel(QUEUE);
            let answers = answer(inbox, &source, offered);
            let (served, ()) = tokio::join!(listener.serve(requests), answers);
            if let Err(error) = served {
                tracing::warn!(%error, "pages are not served");
            }
        }
        DoorKind::File(file) => file.keep(&source).await,
    }
}

/// Answers requests for pages.
async fn answer(
    mut inbox: mpsc::Receiver<PageRequest>,
    source: &SnapshotSource,
    offered: watch::Receiver<PagesOffered>,
) {
    let mut fresh = FreshPages::default();
    while let Some(request) = inbox.recv().await {
        let offered = offered.borrow().clone();
        let page = match (&*request.path, &offered.page) {
            ("/metrics", _) if offered.metrics => {
                let make = async || Some(metrics_page(source.text().await?));
                fresh.metrics.page(FRESH_FOR, make).await
            }
            ("/", None) => WebPage::plain("The metrics of uplinkd are at /metrics.\n"),
            (path, Some(allow)) => match page::refusal(&request, allow) {
                Some(refused) => WebPage::none(refused),
                None => source.page(path, &mut fresh).await,
            },
            (_, None) => WebPage::none(PageStatus::NotFound),
        };
        request.answer(page);
    }
}

fn metrics_page(text: String) -> WebPage {
    WebPage {
        status: PageStatus::Found,
        media_type: metrics::MEDIA_TYPE,
        body: text.into(),
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
        state_file::replace(&self.path, text.as_bytes(), Durability::Shown)
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
        std::os::unix::fs::symlink(path("precious"), path("deeper/uplinkd.new")).expect("a link");
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
