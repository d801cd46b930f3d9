//! Questions as they are put: to one site, to several, by honest people and by others.

mod common;

mod a_question_to_one_site;
mod a_question_to_the_mesh;
mod adversaries;
