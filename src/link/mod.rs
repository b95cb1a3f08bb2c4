//! SYNC: definitions, results, state and commands over `nats`, in a process of its own that may die at any moment.
//! Holds no state and decides nothing about a job: the agent does.

pub mod frame;
