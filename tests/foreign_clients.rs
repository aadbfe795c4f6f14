//! What the operator publishes works in clients that we did not write.

mod authlib;
mod browser;
mod expiry;
mod openid_client;
mod stage;
mod uipath;
