//! `extapp local-cloud`
