//! The hydra server with a real Ory Hydra.

mod readings;
