//! What the operator publishes works in clients that we did not write.

mod authlib;
mod browser;
mod expiry;
mod openid_client;
pub mod stage;
mod uipath;
