//! Drives a real Ottla process the way its users do: real clients, raw frames, kill -9.
