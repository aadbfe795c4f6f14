//! The access log: one JSON line for each request, for whoever wants to count them. No bodies, no secrets.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

/// One request.
#[derive(Debug, Serialize)]
pub struct Entry<'a> {
    /// The HTTP method.
    pub method: &'a str,
    /// The path without its query.
    pub path: &'a str,
    /// The status of the answer; nothing if none was sent.
    pub status: Option<u16>,
    /// The client whose token or secret came with the request, once it is known to be its own.
    pub client_id: Option<&'a str>,
}

/// An open access log.
#[derive(Debug)]
pub struct AccessLog(Mutex<File>);

impl AccessLog {
    /// Opens `path` to append to it.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(Mutex::new(OpenOptions::new().create(true).append(true).open(path)?)))
    }

    /// Appends `entry`. A line that cannot be written must not fail the request; it is only reported.
    pub fn append(&self, entry: &Entry<'_>) {
        let written = serde_json::to_string(entry).map_err(io::Error::from).and_then(|mut line| {
            line.push('\n');
            self.0.lock().unwrap_or_else(PoisonError::into_inner).write_all(line.as_bytes())
        });
        if let Err(error) = written {
            tracing::warn!(error = &error as &dyn std::error::Error, "the access log cannot be written");
        }
    }
}
