//! A store in memory for tests of the intake. It can fail or hang. It has no claims.

use std::sync::Mutex;
use std::time::Duration;

use cfcache_queue::{
    Claim, DeadRequest, DeadSelection, NewRequest, QueueStatus, RequestGroup, Store, StoreError, StoreFuture,
    Tokens,
};

#[derive(Debug, Default)]
pub(crate) struct MemoryStore {
    pub(crate) requests: Mutex<Vec<NewRequest>>,
    pub(crate) status: Mutex<QueueStatus>,
    pub(crate) mode: Mutex<Mode>,
    /// The number of calls of `status`.
    pub(crate) asked: Mutex<usize>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    #[default]
    Works,
    Fails,
    Hangs,
}

impl MemoryStore {
    pub(crate) fn set_mode(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
    }

    /// Returns kind and key of each stored request.
    pub(crate) fn keys(&self) -> Vec<String> {
        let requests = self.requests.lock().unwrap();
        requests
            .iter()
            .map(|request| format!("{} {}", request.subject.kind(), request.subject.key()))
            .collect()
    }

    async fn work<T>(&self, done: impl FnOnce() -> T) -> Result<T, StoreError> {
        let mode = *self.mode.lock().unwrap();
        match mode {
            Mode::Works => Ok(done()),
            Mode::Fails => Err(StoreError::new("cannot store requests", "relation <b>secret</b> is gone")),
            Mode::Hangs => std::future::pending().await,
        }
    }
}

fn unused<T>() -> Result<T, StoreError> {
    Err(StoreError::new("cannot do that", "the tests of the intake do not need it"))
}

impl Store for MemoryStore {
    fn insert<'a>(&'a self, requests: &'a [NewRequest]) -> StoreFuture<'a, ()> {
        Box::pin(self.work(|| self.requests.lock().unwrap().extend_from_slice(requests)))
    }

    fn status(&self) -> StoreFuture<'_, QueueStatus> {
        *self.asked.lock().unwrap() += 1;
        Box::pin(self.work(|| self.status.lock().unwrap().clone()))
    }

    fn check_writable(&self) -> StoreFuture<'_, ()> {
        Box::pin(self.work(|| ()))
    }

    fn ready_groups(&self) -> StoreFuture<'_, Vec<RequestGroup>> {
        Box::pin(async { unused() })
    }

    fn claim<'a>(&'a self, _: &'a RequestGroup, _: usize) -> StoreFuture<'a, Option<Box<dyn Claim>>> {
        Box::pin(async { unused() })
    }

    fn take_tokens<'a>(&'a self, _: &'a [Tokens]) -> StoreFuture<'a, Duration> {
        Box::pin(async { unused() })
    }

    fn block_budgets<'a>(&'a self, _: &'a [String], _: Duration) -> StoreFuture<'a, ()> {
        Box::pin(async { unused() })
    }

    fn dead(&self, _: usize) -> StoreFuture<'_, Vec<DeadRequest>> {
        Box::pin(async { unused() })
    }

    fn retry_dead<'a>(&'a self, _: &'a DeadSelection) -> StoreFuture<'a, u64> {
        Box::pin(async { unused() })
    }

    fn drop_dead<'a>(&'a self, _: &'a DeadSelection) -> StoreFuture<'a, u64> {
        Box::pin(async { unused() })
    }
}
