package firmwareconfig

import _ "gridpost/edge/public" // a test must hold the rule too
