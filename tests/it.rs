//! The tests that need more than one module: one file for each behaviour.

mod local_cloud;
