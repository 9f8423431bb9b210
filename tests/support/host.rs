//! A host with a network namespace of its own, beside that of the test.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd};
use std::thread;

use nix::sched::{CloneFlags, setns, unshare};

use crate::netns::World;

/// A host.
pub(crate) struct Host {
    namespace: File,
}

impl Host {
    /// An empty one.
    pub(crate) fn new() -> Self {
        let made = thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace");
            File::open("/proc/thread-self/ns/net").expect("the namespace")
        });
        Self {
            namespace: made.join().expect("a namespace"),
        }
    }

    /// Does something there, on a thread of its own; sockets that are opened stay there.
    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let there = scope.spawn(|| {
                setns(self.namespace.as_fd(), CloneFlags::CLONE_NEWNET).expect("the namespace");
                work()
            });
            there.join().expect("it is done")
        })
    }

    /// Sets something up there.
    pub(crate) fn set_up<F: Future<Output = ()>>(&self, work: impl FnOnce(World) -> F + Send) {
        self.run(|| {
            let runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = { runtime }.enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let world = World::here();
                world.set_up("lo", true).await;
                work(world).await;
            });
        });
    }

    /// What stands for it in a request to move an interface there.
    pub(crate) fn descriptor(&self) -> i32 {
        self.namespace.as_raw_fd()
    }
}
