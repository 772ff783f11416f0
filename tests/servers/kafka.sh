#!/usr/bin/env bash
# Apache Kafka 4.1 (KRaft) on the loopback, from Maven Central: one node, and more brokers where they are asked for.
#
#   kafka.sh installed          exit 0 if it is in the cache
#   kafka.sh install            puts it there (needs Java 17 and Maven)
#   kafka.sh start DIR [DOORS]  starts it on the data in DIR; prints its address when it is ready. With
#                               DOORS, a folder with ca.crt, broker.pem, expired.pem (key first) and
#                               jwks.json, it has guarded listeners too, which DIR/listeners names
#   kafka.sh join DIR FIRST N   starts broker N (2, 3...), in DIR, of the cluster of the node in FIRST, which must
#                               stay while there is work for its controller; `start DIR` starts it again
#   kafka.sh acl DIR OPTION...  changes the rights of a guarded one, as Kafka's AclCommand does
#   kafka.sh stop DIR           asks it to end, and waits
#   kafka.sh kill DIR           kill -9; a later start finds the same data and the same port
#
# It never deletes records for their age unless a topic says so: old time stamps are what tests write.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/server.sh"
home=$cache/kafka-4.1.2

install() {
    mvn -B -ntp -q -f "$here/kafka/pom.xml" \
        org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
        -DoutputDirectory="$1/libs" -DincludeScope=runtime
}

configure() {
    local dir=$1 ports
    read -ra ports <<<"$(free_ports 2)"
    cat >"$dir/server.properties" <<PROPERTIES
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:${ports[1]}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:${ports[0]},CONTROLLER://127.0.0.1:${ports[1]}
advertised.listeners=PLAINTEXT://127.0.0.1:${ports[0]}
inter.broker.listener.name=PLAINTEXT
log.dirs=$dir/data
log.retention.ms=-1
num.partitions=3
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=3
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=3
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=3
group.initial.rebalance.delay.ms=0
# Leaders that moved go back as soon as they can.
leader.imbalance.check.interval.seconds=2
# A restart after kill -9 waits until the session of the killed one has ended.
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500
# Retention and compaction within seconds, for the topics that ask for them.
log.initial.task.delay.ms=1000
log.retention.check.interval.ms=5000
log.cleaner.backoff.ms=1000
log.cleaner.dedupe.buffer.size=2097152
PROPERTIES
}

# A broker alone, with the controller of another.
join() {
    local dir=$1 voters
    mkdir -p "$dir"
    configure "$dir"
    voters=$(sed -n 's|^controller.quorum.voters=||p' "$2/server.properties")
    sed -i -E "s|^process.roles=.*|process.roles=broker|; s|^node.id=.*|node.id=$3|
        s|^(controller.quorum.voters)=.*|\1=$voters|
        s|^(listeners=PLAINTEXT://[^,]*),.*|\1|" "$dir/server.properties"
    format "$dir"
    start "$dir"
}

# Listeners that ask who comes, and an authorizer. Whoever comes by PLAINTEXT may do everything.
guard() {
    local dir=$1 doors ports address names=(TLS SASL SASLTLS EXPIRED OAUTH) listeners=""
    doors=$(cd "$2" && pwd)
    read -ra ports <<<"$(free_ports ${#names[@]})"
    for i in "${!names[@]}"; do
        address=${names[$i]}://127.0.0.1:${ports[$i]}
        listeners+=,$address
        echo "$address" >>"$dir/listeners"
    done
    sed -i -E "s|^(advertised\.)?listeners=.*|&$listeners|" "$dir/server.properties"
    local login=org.apache.kafka.common.security
    cat >>"$dir/server.properties" <<PROPERTIES
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,TLS:SSL,SASL:SASL_PLAINTEXT,SASLTLS:SASL_SSL,EXPIRED:SSL,OAUTH:SASL_PLAINTEXT
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
$(for listener in sasl sasltls; do
    echo "listener.name.$listener.plain.sasl.jaas.config=$login.plain.PlainLoginModule required user_plain=\"secret\";"
    echo "listener.name.$listener.scram-sha-256.sasl.jaas.config=$login.scram.ScramLoginModule required;"
    echo "listener.name.$listener.scram-sha-512.sasl.jaas.config=$login.scram.ScramLoginModule required;"
done)
listener.name.oauth.sasl.enabled.mechanisms=OAUTHBEARER
listener.name.oauth.oauthbearer.sasl.jaas.config=$login.oauthbearer.OAuthBearerLoginModule required;
listener.name.oauth.oauthbearer.sasl.server.callback.handler.class=$login.oauthbearer.OAuthBearerValidatorCallbackHandler
listener.name.oauth.oauthbearer.sasl.oauthbearer.jwks.endpoint.url=file://$doors/jwks.json
listener.name.oauth.oauthbearer.sasl.oauthbearer.expected.audience=kafka
listener.name.oauth.oauthbearer.connections.max.reauth.ms=60000
ssl.keystore.type=PEM
ssl.keystore.location=$doors/broker.pem
ssl.truststore.type=PEM
ssl.truststore.location=$doors/ca.crt
listener.name.tls.ssl.client.auth=required
listener.name.expired.ssl.keystore.location=$doors/expired.pem
listener.name.expired.ssl.keystore.type=PEM
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
PROPERTIES
    echo "-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls=file://$doors/jwks.json" >"$dir/java.options"
}

format() {
    local dir=$1; shift
    # Any cluster id will do: 16 bytes in base64.
    java_tool kafka.tools.StorageTool format -t ZHJpZnRkLXRlc3QtMDAwMQ -c "$dir/server.properties" "$@" \
        >"$dir/format.log" 2>&1 || { cat "$dir/format.log" >&2; die "cannot format $dir/data"; }
}

# The class path is expanded by Java, so the shell must not.
java_tool() { java -XX:TieredStopAtLevel=1 -cp "$home/libs/*" "$@"; }

start() {
    local dir
    mkdir -p "$1"
    dir=$(cd "$1" && pwd)
    [ -e "$home/.ok" ] || die "not installed; run: $0 install"
    if [ ! -e "$dir/data/meta.properties" ]; then
        configure "$dir"
        local users=()
        if [ -n "${2:-}" ]; then
            guard "$dir" "$2"
            users=(--add-scram 'SCRAM-SHA-256=[name=scram256,password=secret]'
                --add-scram 'SCRAM-SHA-512=[name=scram512,password=secret]')
        fi
        format "$dir" "${users[@]}"
    fi
    local options=()
    [ ! -e "$dir/java.options" ] || mapfile -t options <"$dir/java.options"
    launch "$dir" java "${options[@]}" -Xms128m -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
        -Djava.awt.headless=true -Dlog4j2.configurationFile="$here/kafka/log4j2.properties" \
        -cp "$home/libs/*" kafka.Kafka "$dir/server.properties"
    # Written after the broker may be used; an open port alone says nothing.
    wait_ready "$dir" 90 grep -q 'Kafka Server started' "$dir/log"
    sed -nE 's|^advertised.listeners=PLAINTEXT://([^,]*).*|\1|p' "$dir/server.properties"
}

case "${1:-}" in
    installed) [ -e "$home/.ok" ] ;;
    install) install_once "$home" install ;;
    start) start "${2:?a directory}" "${3:-}" ;;
    join) join "${2:?a directory}" "${3:?the directory of the first node}" "${4:?a number}" ;;
    acl)
        dir=${2:?a directory}
        java_tool org.apache.kafka.tools.AclCommand --force "${@:3}" --bootstrap-server \
            "$(sed -nE 's|^advertised.listeners=PLAINTEXT://([^,]*).*|\1|p' "$dir/server.properties")" >&2
        ;;
    stop) stop "${2:?a directory}" ;;
    kill) stop "${2:?a directory}" KILL ;;
    *) die "usage: kafka.sh installed | install | start DIR [DOORS] | join DIR FIRST N | acl DIR OPTION... | stop DIR | kill DIR" ;;
esac
