// Package app breaks a rule on purpose.
package app

import (
	_ "github.com/eclipse/paho.mqtt.golang"
	_ "gridpost/hub/api"
	_ "gridpost/hub/api/public"
	_ "gridpost/hub/ui"
)
