//! Dynamic client registration, at servers that have it beside an API of their own: the same backend for all.

mod hydra;
mod keycloak;
mod oidc_provider;
