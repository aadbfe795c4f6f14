//! Tests against real wires: one file per behaviour.

mod uipath_backend;
