module github.com/mochi-mqtt/server/v2

go 1.26.0
