-- How many alerts a target never got, for the page that lists targets.
CREATE INDEX deliveries_dead ON deliveries(target) WHERE state = 'dead';
