// SPDX-License-Identifier: MIT

// Package fserr is the event model that every channel of filesystem errors
// shares: what an error is, what a loss is, what a source of them looks like,
// and the account in which every error must end up.
//
// The package is pure: it makes no system call and allocates nothing per
// event. Package fan reads Events from fanotify, package wq from watch_queue;
// neither knows the other, and nothing here knows either of them.
//
// A channel reports only some fields. What it does not report is absent, never
// a zero that pretends to be data: [Event.Has] says which fields are there.
package fserr
