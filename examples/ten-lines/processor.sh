while :; do
  leased=$(curl -sf -X POST "$1/lease/$2?slug=count&wait=30&for=10") && [ "$leased" ] || { sleep 1; continue; }
  lease=$(printf '%s\n' "$leased" | sed -n 's/^{"lease":"\([^"]*\)".*/\1/p')
  state=$(printf '%s\n' "$leased" | sed -n 's/^],"state":\([0-9]*\).*/\1/p')
  replay=$(printf '%s\n' "$leased" | sed -n 's/^],.*"replay":\([a-z]*\).*/\1/p')
  count=$((${state:-0} + $(printf '%s\n' "$leased" | grep -c '^{"offset"')))
  append="{\"type\":\"counted\",\"payload\":{\"count\":$count}}"
  [ "$replay" = true ] && append=null
  curl -sf "$1/settle/$2" -d "{\"lease\":\"$lease\",\"state\":$count,\"append\":$append}" || sleep 1
done
