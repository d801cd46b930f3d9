//! The flow plane from the outside: datagrams in, rows out.

mod biflows;
mod capture;
mod common;
mod decoding;
mod hostile;
mod plane;
mod receiving;
mod sampling;
mod sampling_of_interfaces;
mod times;
mod tshark;
mod vectors;
