package store_test

import (
	"errors"
	"slices"
	"strconv"
	"testing"

	"github.com/unite-hub/berth/internal/store"
)

// pages lists the numbers below most, three a page; the page that failing begins is an error.
func pages(most, failing int, asked *int) func(store.Page) ([]int, string, error) {
	return func(p store.Page) (page []int, next string, err error) {
		*asked++
		from, _ := strconv.Atoi(p.Cursor)
		if from == failing {
			return nil, "", errors.New("disk gone")
		}
		for n := from; n < min(from+3, most); n++ {
			page = append(page, n)
		}
		if from+3 < most {
			next = strconv.Itoa(from + 3)
		}
		return page, next, nil
	}
}

func TestAWalkGivesEveryRowOnceAndInOrder(t *testing.T) {
	for most, wanted := range map[int]int{0: 1, 1: 1, 3: 1, 4: 2, 9: 3} {
		var got []int
		asked := 0
		for n, err := range store.Each(pages(most, -1, &asked)) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, n)
		}
		if len(got) != most || !slices.IsSorted(got) || asked != wanted {
			t.Errorf("of %d: %v, in %d pages", most, got, asked)
		}
	}
}

func TestAWalkEndsWithItsFirstErrorAndReadsNoPageThatNobodyWants(t *testing.T) {
	var got []int
	var failed error
	asked := 0
	for n, err := range store.Each(pages(9, 3, &asked)) {
		if err != nil {
			failed = err
			continue
		}
		got = append(got, n)
	}
	if len(got) != 3 || failed == nil || asked != 2 {
		t.Errorf("%v, then %v, in %d pages", got, failed, asked)
	}
	asked = 0
	for range store.Each(pages(9, -1, &asked)) {
		break
	}
	if asked != 1 {
		t.Errorf("%d pages were read for one row", asked)
	}
}
