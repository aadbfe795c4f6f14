//! Where records are kept. Who runs the operator decides; here is only what is needed of it.

use futures::future::BoxFuture;

use super::record::Record;
use crate::domain::registration::ClientId;

/// A place that outlives this process, for the records of one server.
pub trait Vault: Send + Sync {
    fn read<'a>(&'a self, id: &'a ClientId) -> BoxFuture<'a, Result<Option<Kept>, VaultError>>;
    /// Writes a record as one: token and secret together, or neither.
    fn write<'a>(&'a self, record: &'a Record, over: Over<'a>) -> BoxFuture<'a, Result<(), VaultError>>;
    /// Gone already counts as done.
    fn forget<'a>(&'a self, id: &'a ClientId) -> BoxFuture<'a, Result<(), VaultError>>;
    fn all(&self) -> BoxFuture<'_, Result<Vec<Record>, VaultError>>;
}

/// A record, and the version of it that was read.
#[derive(Clone, Debug)]
pub struct Kept {
    pub record: Record,
    pub version: String,
}

/// What may be overwritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over<'a> {
    /// Whatever is there: the server's latest answer is the truth.
    Anything,
    /// This version alone.
    Version(&'a str),
}

/// Why a record was not read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// Another version is there, or none any more.
    #[error("somebody else was faster")]
    Conflict,
    #[error("the place where records are kept did not take part")]
    Failed,
}
