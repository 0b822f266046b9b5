module github.com/unite-hub/berth

go 1.26.8
