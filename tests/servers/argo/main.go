// Argo's own code without a cluster: the API server's event endpoint and its list of workflows with all that
// lies before them (log-in, gateway, TLS), and a webhook event source with the sensor behind it. What they
// would ask of Kubernetes is kept in memory and guarded by the Roles of the manifests.
package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"

	persist "github.com/argoproj/argo-workflows/v3/persist/sqldb"
	eventpkg "github.com/argoproj/argo-workflows/v3/pkg/apiclient/event"
	workflowpkg "github.com/argoproj/argo-workflows/v3/pkg/apiclient/workflow"
	"github.com/argoproj/argo-workflows/v3/server/auth"
	"github.com/argoproj/argo-workflows/v3/server/auth/sso"
	"github.com/argoproj/argo-workflows/v3/server/auth/webhook"
	"github.com/argoproj/argo-workflows/v3/server/clusterworkflowtemplate"
	"github.com/argoproj/argo-workflows/v3/server/event"
	"github.com/argoproj/argo-workflows/v3/server/workflow"
	"github.com/argoproj/argo-workflows/v3/server/workflow/store"
	"github.com/argoproj/argo-workflows/v3/server/workflowtemplate"
	grpcutil "github.com/argoproj/argo-workflows/v3/util/grpc"
	"github.com/argoproj/argo-workflows/v3/util/instanceid"
	gatewayjson "github.com/argoproj/argo-workflows/v3/util/json"
	tlsutil "github.com/argoproj/argo-workflows/v3/util/tls"
	"github.com/argoproj/argo-workflows/v3/workflow/events"
	grpc_middleware "github.com/grpc-ecosystem/go-grpc-middleware"
	"github.com/grpc-ecosystem/grpc-gateway/runtime"
	log "github.com/sirupsen/logrus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"k8s.io/client-go/rest"
)

func main() {
	dir := flag.String("dir", "", "where tokens and the certificate are written")
	plain := flag.Int("plain", 0, "port of the API server without TLS")
	secure := flag.Int("secure", 0, "port of the API server")
	source := flag.Int("source", 0, "port of the event source")
	admin := flag.Int("admin", 0, "port at which a test looks into the cluster")
	flag.Parse()
	ctx := context.Background()

	cluster := newCluster()
	for _, manifest := range flag.Args() {
		must(cluster.apply(manifest))
	}
	must(cluster.check(ctx))
	must(cluster.issueTokens(*dir))

	config, err := tlsutil.GenerateX509KeyPairTLSConfig(tls.VersionTLS12)
	must(err)
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: config.Certificates[0].Certificate[0]})
	must(os.WriteFile(filepath.Join(*dir, "argo.crt"), certificate, 0o600))
	grpcServer := newGRPCServer(cluster)
	for port, config := range map[int]*tls.Config{*plain: nil, *secure: config} {
		// The gateway calls the port that it is behind, so that somebody has to listen there before.
		listener, err := listen(port)
		must(err)
		serve(listener, newHandler(ctx, cluster, grpcServer, port, config), config)
	}
	must(serveEventSources(ctx, cluster, *source))
	listener, err := listen(*admin)
	must(err)
	serve(listener, adminOf(cluster, *dir), nil)
	select {}
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func listen(port int) (net.Listener, error) {
	return net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
}

func serve(listener net.Listener, handler http.Handler, config *tls.Config) {
	if config != nil {
		listener = tls.NewListener(listener, config)
	}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Handler: handler, Protocols: &protocols}
	go func() { must(server.Serve(listener)) }()
}

// As `argo server --auth-mode=client` puts them together, without what is not asked for here.
func newGRPCServer(cluster *cluster) *grpc.Server {
	gatekeeper, err := auth.NewGatekeeper(auth.Modes{auth.Client: true}, cluster.own(), &rest.Config{}, sso.NullSSO,
		cluster.clientFor, "argo", "argo", false, nil)
	must(err)
	entry := log.NewEntry(log.StandardLogger())
	server := grpc.NewServer(grpc.UnaryInterceptor(grpc_middleware.ChainUnaryServer(
		grpcutil.PanicLoggerUnaryServerInterceptor(entry),
		grpcutil.ErrorTranslationUnaryServerInterceptor,
		gatekeeper.UnaryServerInterceptor(),
	)))
	instances := instanceid.NewService("")
	eventServer := event.NewController(instances, events.NewEventRecorderManager(cluster.kubernetes), 16, 4, false)
	wfStore, err := store.NewSQLiteStore(instances)
	must(err)
	everywhere := ""
	workflowServer := workflow.NewWorkflowServer(instances, persist.ExplosiveOffloadNodeStatusRepo,
		persist.NullWorkflowArchive, cluster.workflows, wfStore, wfStore,
		workflowtemplate.NewWorkflowTemplateClientStore(), clusterworkflowtemplate.NewNullClusterWorkflowTemplate(),
		nil, &everywhere)
	eventpkg.RegisterEventServiceServer(server, eventServer)
	workflowpkg.RegisterWorkflowServiceServer(server, workflowServer)
	go workflowServer.Run(make(chan struct{}))
	return server
}

func newHandler(ctx context.Context, cluster *cluster, grpcServer *grpc.Server, port int, config *tls.Config) http.Handler {
	access := insecure.NewCredentials()
	if config != nil {
		config = config.Clone()
		config.InsecureSkipVerify = true
		access = credentials.NewTLS(config)
	}
	options := []grpc.DialOption{grpc.WithTransportCredentials(access)}
	gateway := runtime.NewServeMux(
		runtime.WithMarshalerOption(runtime.MIMEWildcard, new(gatewayjson.JSONMarshaler)),
		runtime.WithIncomingHeaderMatcher(grpcutil.IncomingHeaderMatcher),
		runtime.WithProtoErrorHandler(runtime.DefaultHTTPProtoErrorHandler),
	)
	endpoint := fmt.Sprintf("127.0.0.1:%d", port)
	must(eventpkg.RegisterEventServiceHandlerFromEndpoint(ctx, gateway, endpoint, options))
	must(workflowpkg.RegisterWorkflowServiceHandlerFromEndpoint(ctx, gateway, endpoint, options))
	interceptor := webhook.Interceptor(cluster.kubernetes)
	mux := http.NewServeMux()
	mux.HandleFunc("/api/", func(w http.ResponseWriter, r *http.Request) {
		r.Header.Del("Connection")
		interceptor(w, r, gateway)
	})
	return grpcutil.NewMuxHandler(grpcServer, mux)
}

// What a test may do to the cluster: see its workflows, bring one to an end, and call all tokens back.
func adminOf(cluster *cluster, dir string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /workflows", func(w http.ResponseWriter, r *http.Request) {
		found, err := cluster.list(r.Context())
		answer(w, found, err)
	})
	mux.HandleFunc("POST /workflows/{namespace}/{name}/{phase}", func(w http.ResponseWriter, r *http.Request) {
		answer(w, nil, cluster.end(r.Context(), r.PathValue("namespace"), r.PathValue("name"), r.PathValue("phase")))
	})
	mux.HandleFunc("POST /tokens", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, nil, cluster.issueTokens(dir))
	})
	return mux
}

func answer(w http.ResponseWriter, found any, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	must(json.NewEncoder(w).Encode(found))
}
