// SPDX-License-Identifier: MIT

package fserr

import "fmt"

// Account is the accounting identity: each injected error has exactly one fate.
//
//	injected = refused + detailed + coalesced + filtered + signalled + silent
//
// All terms are numbers of errors.
type Account struct {
	Injected  uint64 `json:"injected"`  // reported by the filesystem or the injector
	Refused   uint64 `json:"refused"`   // turned away by fserror before any channel saw them
	Detailed  uint64 `json:"detailed"`  // delivered with what the channel says about an error
	Coalesced uint64 `json:"coalesced"` // delivered only as part of another error's count
	Filtered  uint64 `json:"filtered"`  // kept out because the reader asked for that
	Signalled uint64 `json:"signalled"` // lost, and afterwards the reader was told that something was lost
	Silent    uint64 `json:"silent"`    // lost after the reader was last told that something was, if ever
}

// Unexplained returns what the terms leave over: positive when errors
// vanished, negative when there are more fates than errors.
func (a Account) Unexplained() int64 {
	return int64(a.Injected) - int64(a.Refused+a.Detailed+a.Coalesced+a.Filtered+a.Signalled+a.Silent)
}

// Lost returns the errors that the channel took on and did not deliver.
func (a Account) Lost() uint64 { return a.Signalled + a.Silent }

// Delivered returns the errors that the reader knows of, in detail or by count.
func (a Account) Delivered() uint64 { return a.Detailed + a.Coalesced }

// String returns the identity as one line.
func (a Account) String() string {
	return fmt.Sprintf("injected %d = refused %d + detailed %d + coalesced %d + filtered %d + lost signalled %d + lost silently %d + unexplained %d",
		a.Injected, a.Refused, a.Detailed, a.Coalesced, a.Filtered, a.Signalled, a.Silent, a.Unexplained())
}
