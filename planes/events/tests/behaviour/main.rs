//! The store as its users meet it: the node that writes, the crash that interrupts, the disk that fills.

mod cold_storage;
mod common;

mod a_crash_at_any_step;
mod a_full_disk;
mod bounds;
mod clickhouse;
mod damaged_files;
mod exports;
mod following;
mod old_rows;
mod rows_stay;
