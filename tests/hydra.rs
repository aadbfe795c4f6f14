//! The hydra server with a real Ory Hydra.

mod faults;
mod life;
mod proxy;
mod readings;
mod site;
