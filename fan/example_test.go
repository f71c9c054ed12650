// SPDX-License-Identifier: MIT

package fan_test

import (
	"context"
	"fmt"
	"log"

	"wqfan/fan"
	"wqfan/fserr"
)

// A program that prints the errors of one filesystem until it is interrupted.
func Example() {
	group, err := fan.Open(fan.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer group.Close()
	if err := group.Watch("/"); err != nil {
		log.Fatal(err)
	}
	events := make([]fserr.Event, 64)
	for {
		n, err := group.Read(context.Background(), events)
		if err != nil {
			log.Fatal(err)
		}
		for _, e := range events[:n] {
			switch e.Kind {
			case fserr.Error:
				fmt.Printf("%d × %v on filesystem %v, inode %d\n", e.Count, e.Errno, e.FSID, e.Ino)
			case fserr.Lost:
				fmt.Println("the queue was full: check the filesystem")
			}
		}
	}
}
