//! Questions as they are put: to one site, to several, by honest people and by others.

mod a_question_to_one_site;
mod a_question_to_the_mesh;
mod adversaries;
mod arithmetic;
mod cold_files_that_are_not_reached;
mod columns_that_came_later;
mod common;
mod counting_fast;
mod files_that_are_passed_over;
mod flows_over_time;
mod growing;
mod lists;
mod moments;
mod orders_and_windows;
mod spilling;
mod usual_questions;
