// SPDX-License-Identifier: MIT

package wq_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"wqfan/fserr"
	"wqfan/wq"
)

// A program that prints the errors of one filesystem until it is unmounted.
func Example() {
	queue, err := wq.Open(wq.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer queue.Close()
	if err := queue.Watch("/", 1, wq.Direct); err != nil {
		log.Fatal(err)
	}
	events := make([]fserr.Event, 64)
	for {
		n, err := queue.Read(context.Background(), events)
		if err != nil {
			log.Fatal(err)
		}
		for _, e := range events[:n] {
			switch e.Kind {
			case fserr.Error:
				fmt.Printf("%v: %v on filesystem %v, inode %d\n", e.Class, e.Errno, e.FSID, e.Ino)
			case fserr.Lost:
				fmt.Println("the queue was full: check the filesystem")
			case fserr.Removed:
				return
			}
		}
	}
}

// A program that follows the user's keyring, on a kernel without the series too.
func ExampleQueue_WatchKey() {
	queue, err := wq.Open(wq.Config{})
	if errors.Is(err, errors.ErrUnsupported) {
		log.Fatal("another kernel, please: ", err)
	} else if err != nil {
		log.Fatal(err)
	}
	defer queue.Close()
	const userKeyring = -4 // KEY_SPEC_USER_KEYRING
	if err := queue.WatchKey(userKeyring, 1); err != nil {
		log.Fatal(err)
	}
	events := make([]fserr.Event, 64)
	for {
		n, err := queue.Read(context.Background(), events)
		if err != nil {
			log.Fatal(err)
		}
		for _, e := range events[:n] {
			if e.Kind != fserr.Other || e.Record.Type != wq.TypeKey {
				continue
			}
			if key, err := wq.DecodeKey(e.Record.Bytes); err == nil {
				fmt.Printf("key %d: %v\n", key.ID, key.Change)
			}
		}
	}
}

// Let only lost data and corrupt metadata into the queue, and only from watch 1.
func ExampleQueue_SetFilter() {
	queue, err := wq.Open(wq.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer queue.Close()
	const watchID = 0xff00 // WATCH_INFO_ID
	err = queue.SetFilter([]wq.Filter{{
		Type:     wq.TypeFSError,
		Subtypes: []uint8{uint8(fserr.DataLost), uint8(fserr.Metadata)},
		Info:     1 << 8,
		Mask:     watchID,
	}})
	if err != nil {
		log.Fatal(err)
	}
}
