module gridpost

go 1.26.0

require (
	github.com/bluenviron/gortsplib/v4 v4.0.0
	github.com/eclipse/paho.mqtt.golang v1.0.0
	github.com/mochi-mqtt/server/v2 v2.0.0
	github.com/pion/webrtc/v4 v4.0.0
	gocv.io/x/gocv v0.1.0
	modernc.org/sqlite v1.0.0
)

replace (
	github.com/bluenviron/gortsplib/v4 => ./stubs/gortsplib
	github.com/eclipse/paho.mqtt.golang => ./stubs/paho
	github.com/mochi-mqtt/server/v2 => ./stubs/mochi
	github.com/pion/webrtc/v4 => ./stubs/webrtc
	gocv.io/x/gocv => ./stubs/gocv
	modernc.org/sqlite => ./stubs/sqlite
)
