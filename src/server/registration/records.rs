//! The records of one server, as all who talk to it share them: one at a time for each registration, and nothing that a
//! server said is given up before it is written.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::OwnedMutexGuard;

use super::record::Record;
use super::vault::{Kept, Over, Vault, VaultError};
use crate::domain::registration::ClientId;
use crate::server::ServerError;

/// How often a write is tried before the record is only held, and how long it is waited in between.
const PAUSES: [Duration; 4] =
    [Duration::from_millis(100), Duration::from_millis(200), Duration::from_millis(400), Duration::from_millis(800)];

/// How many deleted registrations are remembered.
const REMEMBERED: usize = 10_000;

/// What this process knows of records beside what is kept.
pub struct Records {
    vault: Arc<dyn Vault>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// One lock for each registration that is being dealt with.
    locks: HashMap<ClientId, Weak<tokio::sync::Mutex<()>>>,
    /// What could not be written yet.
    unwritten: HashMap<ClientId, Record>,
    /// Registrations that the server does not have any more, with their applications.
    gone: HashMap<ClientId, String>,
    /// Registrations that this process deleted.
    deleted: HashSet<ClientId>,
}

fn failed(_: VaultError) -> ServerError {
    ServerError::Unrecorded { what: "the record of the registration cannot be read or written in the cluster" }
}

impl Records {
    pub fn new(vault: Arc<dyn Vault>) -> Self {
        Self { vault, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until nobody else deals with this registration. A token serves once where its server replaces it.
    pub(super) async fn lock(&self, id: &ClientId) -> OwnedMutexGuard<()> {
        let lock = {
            let mut state = self.state();
            state.locks.retain(|_, lock| lock.strong_count() > 0);
            let known = state.locks.get(id).and_then(Weak::upgrade);
            known.unwrap_or_else(|| {
                let new = Arc::default();
                state.locks.insert(id.clone(), Arc::downgrade(&new));
                new
            })
        };
        lock.lock_owned().await
    }

    /// The record as it is now. What could not be written before is written first.
    pub(super) async fn load(&self, id: &ClientId) -> Result<Option<Kept>, ServerError> {
        let unwritten = self.state().unwritten.get(id).cloned();
        if let Some(record) = unwritten {
            self.write(&record).await?;
        }
        self.vault.read(id).await.map_err(failed)
    }

    /// Keeps what a server just said. If that fails, it is held, and kept before anything else is done with it.
    pub(super) async fn keep(&self, record: &Record) -> Result<(), ServerError> {
        self.state().unwritten.insert(record.client_id().clone(), record.clone());
        for pause in PAUSES {
            if self.write(record).await.is_ok() {
                return Ok(());
            }
            tokio::time::sleep(pause).await;
        }
        self.write(record).await
    }

    async fn write(&self, record: &Record) -> Result<(), ServerError> {
        self.vault.write(record, Over::Anything).await.map_err(failed)?;
        self.state().unwritten.remove(record.client_id());
        Ok(())
    }

    /// Notes what is about to be done, over the version that was read. `false`: somebody else was faster.
    pub(super) async fn prepare(&self, record: &Record, version: &str) -> Result<bool, ServerError> {
        match self.vault.write(record, Over::Version(version)).await {
            Ok(()) => Ok(true),
            Err(VaultError::Conflict) => Ok(false),
            Err(error) => Err(failed(error)),
        }
    }

    /// The registration is no more, and nobody has to remember it.
    pub(super) async fn forget(&self, id: &ClientId) -> Result<(), ServerError> {
        self.vault.forget(id).await.map_err(failed)?;
        let mut state = self.state();
        state.unwritten.remove(id);
        state.gone.remove(id);
        if state.deleted.len() >= REMEMBERED {
            state.deleted.clear();
        }
        state.deleted.insert(id.clone());
        Ok(())
    }

    /// The registration stays where it is, and nobody looks after it.
    pub(super) async fn abandon(&self, id: &ClientId) -> Result<(), ServerError> {
        self.vault.forget(id).await.map_err(failed)?;
        self.give_up(id);
        Ok(())
    }

    /// The registrations that are there as far as we know.
    pub(super) async fn all(&self) -> Result<Vec<Record>, ServerError> {
        let unwritten: Vec<Record> = self.state().unwritten.values().cloned().collect();
        for record in &unwritten {
            let _lock = self.lock(record.client_id()).await;
            // What fails is held on to, and tried again.
            let _ = self.load(record.client_id()).await;
        }
        let mut all = self.vault.all().await.map_err(failed)?;
        let state = self.state();
        all.retain(|record| !state.unwritten.contains_key(record.client_id()));
        all.extend(state.unwritten.values().cloned());
        all.retain(|record| !state.gone.contains_key(record.client_id()));
        Ok(all)
    }

    pub(super) fn is_gone(&self, record: &Record) {
        self.state().gone.insert(record.client_id().clone(), record.owner().to_owned());
    }

    pub(super) fn is_there(&self, id: &ClientId) {
        self.state().gone.remove(id);
    }

    /// The registrations that an application had and that are no more.
    pub(super) fn former(&self, owner: &str) -> Vec<ClientId> {
        let state = self.state();
        state.gone.iter().filter(|(_, of)| *of == owner).map(|(id, _)| id.clone()).collect()
    }

    /// Nothing is left of what could not be kept.
    pub(super) fn give_up(&self, id: &ClientId) {
        self.state().unwritten.remove(id);
    }

    pub(super) fn was_deleted(&self, id: &ClientId) -> bool {
        self.state().deleted.contains(id)
    }
}
