package main

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"
	_ "unsafe" // for go:linkname

	eventsv1 "github.com/argoproj/argo-events/pkg/apis/events/v1alpha1"
	"github.com/argoproj/argo-events/pkg/eventsources/common"
	webhooks "github.com/argoproj/argo-events/pkg/eventsources/common/webhook"
	"github.com/argoproj/argo-events/pkg/eventsources/sources/webhook"
	"github.com/argoproj/argo-events/pkg/metrics"
	"github.com/argoproj/argo-events/pkg/sensors/dependencies"
	"github.com/argoproj/argo-events/pkg/sensors/triggers"
	wfv1 "github.com/argoproj/argo-workflows/v3/pkg/apis/workflow/v1alpha1"
	"github.com/gorilla/mux"
	log "github.com/sirupsen/logrus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/uuid"
)

// An event source listens at every address, unless something listens for it already.
//
//go:linkname controller github.com/argoproj/argo-events/pkg/eventsources/sources/webhook.controller
var controller *webhooks.Controller

// The webhook event sources, all at one port of the loopback. Their secrets would be mounted at a fixed path,
// so that they ask for none here.
func serveEventSources(ctx context.Context, cluster *cluster, port int) error {
	listener, err := listen(port)
	if err != nil {
		return err
	}
	router := mux.NewRouter()
	controller.ActiveServerHandlers[strconv.Itoa(port)] = router
	go func() { must(http.Serve(listener, router)) }()
	for _, source := range cluster.sources {
		for name, event := range source.Spec.Webhook {
			event.Port, event.AuthSecret = strconv.Itoa(port), nil
			listener := &webhook.EventListener{
				EventSourceName: source.Name, EventName: name, Webhook: event, Metrics: metrics.NewMetrics(source.Namespace),
			}
			if err := listener.ValidateEventSource(ctx); err != nil {
				return err
			}
			dispatch := func(data []byte, _ ...common.Option) error {
				return cluster.sense(ctx, source.Name, name, data)
			}
			go func() { must(listener.StartListening(ctx, dispatch)) }()
		}
	}
	return nil
}

// What a sensor does with an event that the bus has brought it.
func (c *cluster) sense(ctx context.Context, source, name string, data []byte) error {
	for _, sensor := range c.sensors {
		for _, dependency := range sensor.Spec.Dependencies {
			if dependency.EventSourceName != source || dependency.EventName != name {
				continue
			}
			event := &eventsv1.Event{
				Context: &eventsv1.EventContext{
					ID: string(uuid.NewUUID()), Source: source, Subject: name, SpecVersion: "1.0",
					Type: string(eventsv1.WebhookEvent), DataContentType: eventsv1.MediaTypeJSON, Time: metav1.Time{Time: time.Now()},
				},
				Data: data,
			}
			passes, err := dependencies.Filter(event, dependency.Filters, dependency.FiltersLogicalOperator)
			if err != nil || !passes {
				log.WithError(err).WithField("sensor", sensor.Name).Info("the event does not pass")
				continue
			}
			for _, trigger := range sensor.Spec.Triggers {
				err := c.submit(ctx, sensor, trigger, map[string]*eventsv1.Event{dependency.Name: event})
				// As in a sensor, the event has been taken all the same.
				log.WithError(err).WithField("trigger", trigger.Template.Name).Info("triggered")
			}
		}
	}
	return nil
}

// As a trigger of kind argoWorkflow, whose `argo submit` creates what comes out.
func (c *cluster) submit(ctx context.Context, sensor eventsv1.Sensor, trigger eventsv1.Trigger, events map[string]*eventsv1.Event) error {
	action := trigger.Template.ArgoWorkflow
	object, err := triggers.FetchKubernetesResource(action.Source)
	if err != nil {
		return err
	}
	if err := triggers.ApplyResourceParameters(events, action.Parameters, object); err != nil {
		return err
	}
	text, err := json.Marshal(object)
	if err != nil {
		return err
	}
	wf := &wfv1.Workflow{}
	if err := json.Unmarshal(text, wf); err != nil {
		return err
	}
	_, err = c.workflows.ArgoprojV1alpha1().Workflows(sensor.Namespace).Create(ctx, wf, metav1.CreateOptions{})
	return err
}
