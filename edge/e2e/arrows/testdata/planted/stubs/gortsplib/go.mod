module github.com/bluenviron/gortsplib/v4

go 1.26.0
