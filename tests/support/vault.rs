//! A place for records that is none of Kubernetes, so that a backend can be tried without a cluster.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use extapp::domain::registration::ClientId;
use extapp::server::registration::{Kept, Over, Record, Vault, VaultError};
use futures::FutureExt as _;
use futures::future::{BoxFuture, ready};
use secrecy::{ExposeSecret as _, SecretString};

/// What is written of one record, and its version.
type Written = (usize, BTreeMap<String, SecretString>);

/// Keeps what a Secret would.
#[derive(Default)]
pub struct Memory {
    written: Mutex<BTreeMap<ClientId, Written>>,
    writes: AtomicUsize,
    broken: AtomicBool,
}

impl Memory {
    fn written(&self) -> MutexGuard<'_, BTreeMap<ClientId, Written>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses everything, or no longer.
    pub fn break_down(&self, broken: bool) {
        self.broken.store(broken, Ordering::SeqCst);
    }

    /// How often a record was written.
    pub fn writes(&self) -> usize {
        self.writes.load(Ordering::SeqCst)
    }

    pub fn is_empty(&self) -> bool {
        self.written().is_empty()
    }

    /// One value of one record.
    pub fn value(&self, id: &ClientId, key: &str) -> Option<String> {
        Some(self.written().get(id)?.1.get(key)?.expose_secret().to_owned())
    }

    /// Writes a value as another process would.
    pub fn set(&self, id: &ClientId, key: &str, value: &str) {
        if let Some((version, data)) = self.written().get_mut(id) {
            *version += 1;
            data.insert(key.into(), value.to_owned().into());
        }
    }

    /// Loses a record.
    pub fn lose(&self, id: &ClientId) {
        self.written().remove(id);
    }

    fn at_work(&self) -> Result<(), VaultError> {
        if self.broken.load(Ordering::SeqCst) { Err(VaultError::Failed) } else { Ok(()) }
    }

    fn put(&self, record: &Record, over: Over<'_>) -> Result<(), VaultError> {
        self.at_work()?;
        let mut all = self.written();
        let known = all.get(record.client_id()).map(|(version, _)| *version);
        if let Over::Version(version) = over
            && known.map(|known| known.to_string()).as_deref() != Some(version)
        {
            return Err(VaultError::Conflict);
        }
        let data = record.to_data().into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        all.insert(record.client_id().clone(), (known.unwrap_or_default() + 1, data));
        self.writes.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

impl Vault for Memory {
    fn read<'a>(&'a self, id: &'a ClientId) -> BoxFuture<'a, Result<Option<Kept>, VaultError>> {
        let kept = self.at_work().map(|()| {
            let all = self.written();
            let (version, data) = all.get(id)?;
            Some(Kept { record: Record::from_data(data)?, version: version.to_string() })
        });
        ready(kept).boxed()
    }

    fn write<'a>(&'a self, record: &'a Record, over: Over<'a>) -> BoxFuture<'a, Result<(), VaultError>> {
        ready(self.put(record, over)).boxed()
    }

    fn forget<'a>(&'a self, id: &'a ClientId) -> BoxFuture<'a, Result<(), VaultError>> {
        ready(self.at_work().map(|()| drop(self.written().remove(id)))).boxed()
    }

    fn all(&self) -> BoxFuture<'_, Result<Vec<Record>, VaultError>> {
        let records = || self.written().values().filter_map(|(_, data)| Record::from_data(data)).collect();
        ready(self.at_work().map(|()| records())).boxed()
    }
}
