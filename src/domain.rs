//! Decisions, as pure functions over plain data: no clock, no client, no async.

pub mod registration;
