//! Logs: to standard error, for people or as JSON.

use std::io::IsTerminal;

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("--log-level: {0} is not a level (error, warn, info, debug, trace) nor a filter such as info,extapp=debug")]
    Level(String),
    #[error("logging was set up twice")]
    Twice,
}

/// Starts logging for the process.
pub fn start(format: LogFormat, level: &str) -> Result<(), LogError> {
    // The runtime has a span of its own around every pass, which says what ours says.
    let filter =
        EnvFilter::try_new(format!("kube_runtime=warn,{level}")).map_err(|_| LogError::Level(level.to_owned()))?;
    let base = fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    let outcome = match format {
        LogFormat::Text => base.with_target(false).try_init(),
        LogFormat::Json => base.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init(),
    };
    outcome.map_err(|_| LogError::Twice)
}
