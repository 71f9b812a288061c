#![no_std]
//! What a packet means.
