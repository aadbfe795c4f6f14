//! One value that many ask for and one fetches.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Mutex;

use super::ServerError;

/// A cached value. Whoever finds it unusable fetches it, and everybody who waited meanwhile shares the outcome, a
/// failure included: a server that is down is asked once, not once by each who waited.
pub(in crate::server) struct SingleFlight<T> {
    slot: Mutex<Slot<T>>,
    /// How many fetches have come to an end.
    ended: AtomicU64,
}

struct Slot<T> {
    value: Option<Arc<T>>,
    /// The last fetch, if it failed: which one it was, and how.
    failure: Option<(u64, ServerError)>,
}

impl<T> Default for SingleFlight<T> {
    fn default() -> Self {
        Self { slot: Mutex::new(Slot { value: None, failure: None }), ended: AtomicU64::new(0) }
    }
}

impl<T> SingleFlight<T> {
    pub(in crate::server) async fn get<F>(
        &self,
        usable: impl Fn(&T) -> bool,
        fetch: impl FnOnce() -> F,
    ) -> Result<Arc<T>, ServerError>
    where
        F: Future<Output = Result<T, ServerError>>,
    {
        let arrived = self.ended.load(Ordering::Acquire);
        let mut slot = self.slot.lock().await;
        if let Some(value) = slot.value.as_ref().filter(|value| usable(value)) {
            return Ok(Arc::clone(value));
        }
        if let Some((_, error)) = slot.failure.as_ref().filter(|(fetch, _)| *fetch > arrived) {
            return Err(error.clone());
        }
        let result = fetch().await;
        let this = self.ended.fetch_add(1, Ordering::AcqRel) + 1;
        match result {
            Ok(value) => {
                let value = Arc::new(value);
                *slot = Slot { value: Some(Arc::clone(&value)), failure: None };
                Ok(value)
            }
            Err(error) => {
                slot.failure = Some((this, error.clone()));
                Err(error)
            }
        }
    }

    /// Forgets this very value. One that was fetched since stays.
    pub(in crate::server) async fn discard(&self, value: &Arc<T>) {
        let mut slot = self.slot.lock().await;
        if slot.value.as_ref().is_some_and(|current| Arc::ptr_eq(current, value)) {
            slot.value = None;
        }
    }

    pub(in crate::server) async fn replace(&self, value: T) -> Arc<T> {
        let value = Arc::new(value);
        *self.slot.lock().await = Slot { value: Some(Arc::clone(&value)), failure: None };
        value
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures::future::join_all;

    use super::ServerError;
    use super::SingleFlight;

    #[tokio::test]
    async fn everybody_who_waited_shares_one_fetch_and_its_failure() {
        let (flight, fetches) = (SingleFlight::<u32>::default(), AtomicU32::new(0));
        let fail = || async {
            fetches.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            Err(ServerError::Timeout)
        };
        let results = join_all((0..50).map(|_| flight.get(|_| true, fail))).await;
        assert!(results.iter().all(Result::is_err));
        assert_eq!(fetches.load(Ordering::SeqCst), 1);
        assert_eq!(*flight.get(|_| true, || async { Ok(7) }).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn only_the_very_value_that_failed_is_forgotten() {
        let flight = SingleFlight::<u32>::default();
        let old = flight.get(|_| true, || async { Ok(1) }).await.unwrap();
        flight.discard(&old).await;
        let new = flight.get(|_| true, || async { Ok(2) }).await.unwrap();
        flight.discard(&old).await;
        let kept = flight.get(|_| true, || async { Ok(3) }).await.unwrap();
        assert!(Arc::ptr_eq(&new, &kept));
    }
}
