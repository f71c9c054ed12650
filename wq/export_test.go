// SPDX-License-Identifier: MIT

package wq

// Control lets a test call the kernel with the queue's descriptor.
func (q *Queue) Control(f func(fd int) error) error { return q.r.Do("test", f, nil) }
