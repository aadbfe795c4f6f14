//! Ory Hydra.
mod lifespan;
mod wire;
