//! What outlives a request: one SQLite connection on a thread of its own.
//!
//! Every write is one immediate transaction that is committed before the answer leaves. The write-ahead log is used
//! with `synchronous=NORMAL`: a commit is handed to the operating system before it returns, so a killed process
//! (`kill -9`) loses nothing; only a crash of the machine itself may lose the last commits, and even then the file
//! stays consistent. Waiting for the disk at each commit would cost more than a stand-in is worth.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::oneshot;

pub mod applications;
pub mod federated;
#[cfg(test)]
mod fixtures;
pub mod grants;
pub mod orchestrator;
pub mod people;
mod schema;
pub mod settings;
pub mod sign_in;

/// Why something could not be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The data file could not be opened or made.
    #[error("the data file {path} cannot be opened", path = .path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Another process has the file open.
    #[error("the data file {path} is in use by another process", path = .path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The file was written by a newer version of this program.
    #[error("the data file has format {found}, newer than the {known} that this version knows")]
    Newer {
        /// The format number in the file.
        found: i64,
        /// The newest format number this version reads.
        known: i64,
    },
    /// A statement failed.
    #[error("the data file cannot be read or written")]
    Sqlite(#[from] rusqlite::Error),
    /// The file holds a value that no version of this program writes.
    #[error("the data file holds a damaged {what}")]
    Damaged {
        /// What is damaged.
        what: &'static str,
    },
    /// The store's thread has ended.
    #[error("the store has stopped")]
    Stopped,
}

enum Job {
    Work(Box<dyn FnOnce(&mut Connection) + Send>),
    Close(oneshot::Sender<()>),
}

/// A handle on the thread that owns the connection. The thread ends with [`Store::close`] or with the last handle.
#[derive(Clone, Debug)]
pub struct Store {
    jobs: mpsc::Sender<Job>,
}

impl Store {
    /// Opens `path`, or a database in memory, and brings its tables up to date.
    ///
    /// A new file gets mode 0600, because the signing key lives in it.
    pub fn open(path: Option<&Path>) -> Result<Self, StoreError> {
        let mut connection = match path {
            Some(path) => open_file(path)?,
            None => Connection::open_in_memory()?,
        };
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.set_prepared_statement_cache_capacity(128);
        schema::migrate(&mut connection)?;
        let (jobs, queue) = mpsc::channel::<Job>();
        std::thread::Builder::new()
            .name("local-cloud-store".to_owned())
            .spawn(move || work(connection, &queue))
            .map_err(|_| StoreError::Stopped)?;
        Ok(Self { jobs })
    }

    /// Runs `work` in a transaction of its own and commits it; an error rolls everything back.
    pub async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        self.run(move |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let value = work(&transaction)?;
            transaction.commit()?;
            Ok(value)
        })
        .await
    }

    /// Like [`Store::write`], for work that can be refused for reasons of its own: a refusal rolls everything back.
    pub async fn transact<T, E, F>(&self, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: FnOnce(&Transaction<'_>) -> Result<T, E> + Send + 'static,
    {
        self.run(move |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let outcome = work(&transaction);
            if outcome.is_ok() {
                transaction.commit()?;
            }
            Ok(outcome)
        })
        .await?
    }

    /// Runs `work`, which only reads.
    pub async fn read<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        self.run(move |connection| work(connection)).await
    }

    /// Closes the file after the work that is under way. Whoever still has a handle gets [`StoreError::Stopped`].
    pub async fn close(&self) {
        let (closed, done) = oneshot::channel();
        if self.jobs.send(Job::Close(closed)).is_ok() {
            let _ = done.await;
        }
    }

    async fn run<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let job = move |connection: &mut Connection| {
            // Nobody waits any longer if the caller has gone; the work is done all the same.
            let _ = answer.send(work(connection));
        };
        self.jobs.send(Job::Work(Box::new(job))).map_err(|_| StoreError::Stopped)?;
        answered.await.map_err(|_| StoreError::Stopped)?
    }
}

fn work(mut connection: Connection, queue: &mpsc::Receiver<Job>) {
    while let Ok(job) = queue.recv() {
        match job {
            Job::Work(work) => work(&mut connection),
            Job::Close(closed) => {
                drop(connection);
                let _ = closed.send(());
                return;
            }
        }
    }
}

fn open_file(path: &Path) -> Result<Connection, StoreError> {
    let open = |source: Box<dyn std::error::Error + Send + Sync>| StoreError::Open { path: path.to_owned(), source };
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| open(error.into()))?;
    let connection = Connection::open(path).map_err(|error| open(error.into()))?;
    take_over(&connection).map_err(|error| match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => {
            StoreError::InUse { path: path.to_owned() }
        }
        _ => open(error.into()),
    })?;
    Ok(connection)
}

/// Locks the file for this process alone. Two stand-ins on one file would each believe their own counts and keys.
fn take_over(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(std::time::Duration::ZERO)?;
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.execute_batch("BEGIN IMMEDIATE; COMMIT")
}
