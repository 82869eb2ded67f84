package wire

import "sync"

// Queue hands what comes in on one goroutine to another, in order. Put never
// blocks: who puts bounds what is under way. The zero value is not usable.
type Queue[T any] struct {
	more chan struct{} // has a token while the list may not be empty

	mu   sync.Mutex
	list []T
}

// NewQueue returns an empty queue.
func NewQueue[T any]() *Queue[T] { return &Queue[T]{more: make(chan struct{}, 1)} }

// Put adds v at the end.
func (q *Queue[T]) Put(v T) {
	q.mu.Lock()
	q.list = append(q.list, v)
	q.mu.Unlock()
	select {
	case q.more <- struct{}{}:
	default:
	}
}

// More receives when there may be something to take. For one taker.
func (q *Queue[T]) More() <-chan struct{} { return q.more }

// Take removes the first one; false when there is none.
func (q *Queue[T]) Take() (v T, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.list) == 0 {
		return v, false
	}
	v = q.list[0]
	q.list = q.list[1:]
	return v, true
}

// Len is how many wait to be taken.
func (q *Queue[T]) Len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.list)
}
