//! `Range`, answered from a stored body.
