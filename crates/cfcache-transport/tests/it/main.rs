//! Real sockets on this machine, and servers that behave as badly as servers do.

mod forgotten;
mod http1;
mod http2;
mod origins;
mod proxies;
mod rules;
mod scripts;
mod secrets;
mod support;
mod tls;
