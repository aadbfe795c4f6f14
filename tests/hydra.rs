//! The hydra server with a real Ory Hydra.

mod faults;
mod life;
mod own_key;
mod proxy;
mod readings;
pub mod site;
