//! The files people edit, as text in and checked values out. No I/O: [`crate::app`] reads the files.

mod fault;
mod paths;
mod reader;
mod settings;

pub use fault::{Fault, Place};
pub use paths::PathPatterns;
pub use reader::{At, File, Section, nearest};
pub use settings::{
    Access, AcmeConfig, AdminToken, CertificateFiles, ChallengeKind, Config, Containment, HostPattern, Limits, Rings, SiteConfig,
    TlsConfig, UpstreamHost, WitnessConfig, parse_upstream,
};
