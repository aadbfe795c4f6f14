//! A stand-in for the part of Automation Cloud that extapp uses.
